-- A token bucket in a hash {tokens, at_us}. Included before each script.
--
-- Time comes from the server, so that replicas need no common clock; `offset_us` is 0 except in tests of clock jumps.
-- The time of each use is stored even if it is earlier than the last one: keeping the later one would lock the tenant
-- out until the clock has caught up. The time that counts is clamped to [0, burst / rate]: a leap ahead fills the bucket
-- once and no more.
-- A bucket that was left alone long enough to be full again is the same as none, so its key expires then.

local function now_us(offset_us)
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2]) + offset_us
end

local function available(key, rate, burst, now)
  local stored = redis.call('HMGET', key, 'tokens', 'at_us')
  if not stored[1] then
    return burst
  end
  local elapsed_s = (now - tonumber(stored[2])) / 1000000
  elapsed_s = math.max(0, math.min(elapsed_s, burst / rate))
  return math.min(burst, tonumber(stored[1]) + elapsed_s * rate)
end

local function store(key, tokens, rate, burst, now)
  -- %.17g keeps every bit; Lua's own conversion would drop microseconds.
  redis.call('HSET', key, 'tokens', string.format('%.17g', tokens), 'at_us', string.format('%.0f', now))
  redis.call('PEXPIRE', key, math.ceil(burst / rate * 1000) + 1000)
end

-- Microseconds until `wanted` tokens are there, rounded up so that coming back then is never too early.
local function delay_us(wanted, tokens, rate)
  return math.ceil((wanted - tokens) / rate * 1000000) + 1
end
