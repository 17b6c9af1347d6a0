"""The quota's own scripts without a server: Lua in this process, against tables, in the time that it is given.

A `ScriptRunner` for tests of laws and for the simulation, which makes millions of calls: the store is Lua, too, so that
a call crosses between the languages once. It has the few commands that the scripts use. Numbers in answers are cut to
whole ones, as Redis does. Unlike there, numbers stay numbers in arguments and in the store: Redis writes them with all
their digits, and the scripts read everything through `tonumber`, so nothing differs but the time that it takes. LuaJIT
has the language of Redis' Lua, 5.1, and the same doubles; its interpreter takes half of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from lupa import luajit21  # type: ignore[import-untyped]  # it ships no types

from trunkline_admission.scripting import script_text

_STORE: Final = r"""
jit.off() -- short scripts that make their functions anew each time: compiling them costs more than it gives
local hashes, ends_ms = {}, {}
local now_s, now_us = 0, 0

local function alive(key)
  local ends = ends_ms[key]
  if ends and ends <= now_s * 1000 + now_us / 1000 then
    hashes[key], ends_ms[key] = nil, nil
  end
  return hashes[key]
end

local commands = {}

function commands.TIME()
  return { tostring(now_s), tostring(now_us) }
end

function commands.HMGET(key, ...)
  local hash, found = alive(key), { ... }
  for i = 1, #found do
    found[i] = hash and hash[found[i]] or false
  end
  return found
end

function commands.HGET(key, name)
  local hash = alive(key)
  return hash and hash[name] or false
end

function commands.HSET(key, ...)
  local hash = alive(key)
  if not hash then
    hash = {}
    hashes[key] = hash
  end
  local given, added = { ... }, 0
  for i = 1, #given, 2 do
    local name = given[i]
    if hash[name] == nil then
      added = added + 1
    end
    hash[name] = given[i + 1]
  end
  return added
end

function commands.HINCRBY(key, name, by)
  local hash = alive(key)
  local value = tonumber(hash and hash[name] or 0) + tonumber(by)
  commands.HSET(key, name, value)
  return value
end

function commands.EXISTS(key)
  return alive(key) and 1 or 0
end

function commands.DEL(key)
  local there = alive(key)
  hashes[key], ends_ms[key] = nil, nil
  return there and 1 or 0
end

function commands.PEXPIRE(key, ms)
  if not alive(key) then
    return 0
  end
  ends_ms[key] = now_s * 1000 + now_us / 1000 + tonumber(ms)
  return 1
end

redis = {
  call = function(name, ...)
    return commands[name](...)
  end,
}

local scripts = {}
local store = {}

function store.load(name, source)
  scripts[name] = assert(loadstring(source, name))
end

-- Returns whether the answer is a list, and the answer: all of a list at once, which is quicker than one by one.
function store.run(name, seconds, micros, key_count, first, ...)
  now_s, now_us = seconds, micros
  if key_count == 1 then
    KEYS, ARGV = { first }, { ... }
  else
    local given = { first, ... }
    KEYS, ARGV = { unpack(given, 1, key_count) }, { unpack(given, key_count + 1) }
  end
  local answer = scripts[name]()
  if type(answer) == 'table' then
    return true, unpack(answer)
  end
  return false, answer
end

function store.names()
  local names = {}
  for name in pairs(hashes) do
    if alive(name) then
      names[#names + 1] = name
    end
  end
  return names
end

function store.remaining_ms(key)
  return ends_ms[key] and ends_ms[key] - now_s * 1000 - now_us / 1000 or -1
end

function store.lose()
  hashes, ends_ms = {}, {}
end

return store
"""


class LuaStore:
    """A `ScriptRunner` over tables. Deterministic; for one event loop."""

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        """Be empty. `wall_clock` gives Unix time: the store's own clock."""
        self._wall_clock = wall_clock
        self._store = luajit21.LuaRuntime(unpack_returned_tuples=True).execute(_STORE)
        self._run = self._store.run
        self._loaded: set[str] = set()
        self.calls = 0

    async def run(self, script: str, keys: Sequence[str], args: Sequence[str | int | float]) -> Any:
        """As `ScriptRunner.run`; never waits."""
        return self.run_now(script, keys, args)

    def run_now(self, script: str, keys: Sequence[str], args: Sequence[str | int | float]) -> Any:
        """As `run`, without a coroutine."""
        if script not in self._loaded:
            self._store.load(script, script_text(script))
            self._loaded.add(script)
        self.calls += 1
        micros = round(self._wall_clock() * 1e6)
        is_list, *answer = self._run(script, micros // 1_000_000, micros % 1_000_000, len(keys), *keys, *args)
        if is_list:
            return [each if type(each) is int else _plain(each) for each in answer]
        return _plain(answer[0])

    def names(self) -> list[str]:
        """Return the names of what is stored and has not expired as of the last call."""
        return sorted(self._store.names().values())

    def remaining_s(self, key: str) -> float:
        """Return how long a key would stay, as of the last call; negative if for ever."""
        return float(self._store.remaining_ms(key)) / 1000

    def lose_everything(self) -> None:
        """Be as after a restart without a copy on disk."""
        self._store.lose()


def _plain(value: Any) -> Any:
    """Return an answer as redis-py gives it."""
    if isinstance(value, int | float):
        return int(value)
    if isinstance(value, str):
        return value.encode()
    if value is None:
        return None
    return [_plain(each) for each in value.values()]
