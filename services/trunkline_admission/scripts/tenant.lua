-- All limits of one tenant, and of one of its keys, in one step.
--
-- KEYS: the tenant's state, then the key's if a key is named; both share the tenant's tag.
-- ARGV: 1 mode ("take" changes, "look" only tells), 2 offset_us,
--       3-6 begin and end of the tenant's day and month (Unix s), 7 seconds after a period's begin in which returns are
--       not taken off its counts, 8-13 wanted, returned, advanced (requests and tokens each), 14 1 if the tenant may
--       pass its daily number of requests, 15 requests of the day up to which it is granted some because its tier's pool
--       is dry (0: it is not), then eight numbers each: the tenant's limits, the key's (with a key), those on
--       trial (if any). Eight: rate and burst of requests, of tokens; the day's requests, tokens; the month's. 0: no limit.
-- Returns {-1, now_us} if the day or month is over by the store's clock, else {0, granted requests, granted tokens,
--       refusing limit or 0, delay_us (-1: never), on trial: limits that would have refused (bits); for the tenant, then for the key:
--       counts (day's requests, day's tokens, month's requests, month's tokens), levels (requests, tokens); on trial:
--       levels (requests, tokens)}. Limits are numbered 1-6: requests, tokens, the day's requests, the day's tokens, the
--       month's requests, the month's tokens; those of the key 11-16.
--
-- A hash holds: at (time of the last use, us; stored even if it is earlier than the one before, because keeping the later
-- one would lock the tenant out until the clock has caught up), r, t (levels), sr, st (levels on trial), d, m (begin of the
-- day and month that are counted), dr, dt, mr, mt (counts). A level without a limit is empty: the next limit starts full.

-- After a clock went back, a day that has not begun yet is counted on: so far ahead at most.
local CLOCK_BACK_S = 7200

local take = ARGV[1] == 'take'
local now = now_us(tonumber(ARGV[2]))
local now_s = now / 1000000
local day, day_end, month, month_end = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
if now_s < day or now_s >= day_end or now_s < month or now_s >= month_end then
  return { -1, now }
end
local settled_after_s = tonumber(ARGV[7])
local wanted_r, wanted_t = tonumber(ARGV[8]), tonumber(ARGV[9])
local returned_r, returned_t = tonumber(ARGV[10]), tonumber(ARGV[11])
local advanced_r, advanced_t = tonumber(ARGV[12]), tonumber(ARGV[13])
local above_day = tonumber(ARGV[14]) == 1
local even_part = tonumber(ARGV[15])

local function limits_at(first)
  local limits = {}
  for i = 1, 8 do
    limits[i] = tonumber(ARGV[first + i - 1])
  end
  return limits
end

local function after(level, burst, advanced, returned)
  return math.min(burst, math.max(-burst, level - advanced) + returned)
end

-- The begin of the period that is counted, and whether what is stored belongs to it.
local function period(stored, begin)
  local since = number_or(stored, begin)
  if since > begin and since - now_s <= CLOCK_BACK_S then
    return since, true
  end
  return begin, since == begin and stored
end

local function count(stored, ours, begin, advanced, returned)
  local used = ours and math.max(0, number_or(stored, 0)) or 0
  if now_s - begin < settled_after_s then
    returned = 0
  end
  return math.max(0, used + advanced - returned)
end

local function level(stored, elapsed_s, rate, burst, advanced, returned)
  return after(refilled(stored, elapsed_s, rate, burst), burst, advanced, returned)
end

-- The limits that begin at ARGV[first], with their present levels and counts; and those on trial beside them.
local function load(key, first, on_trial)
  local h = redis.call('HMGET', key, 'at', 'r', 't', 'd', 'dr', 'dt', 'm', 'mr', 'mt', 'sr', 'st')
  local set = limits_at(first)
  local elapsed_s = math.max(0, (now - number_or(h[1], now)) / 1000000)
  local ours
  set.key = key
  set.r = level(h[2], elapsed_s, set[1], set[2], advanced_r, returned_r)
  set.t = level(h[3], elapsed_s, set[3], set[4], advanced_t, returned_t)
  set.d, ours = period(h[4], day)
  set.dr = count(h[5], ours, set.d, advanced_r, returned_r)
  set.dt = count(h[6], ours, set.d, advanced_t, returned_t)
  set.m, ours = period(h[7], month)
  set.mr = count(h[8], ours, set.m, advanced_r, returned_r)
  set.mt = count(h[9], ours, set.m, advanced_t, returned_t)
  if on_trial then
    local trial = limits_at(on_trial)
    trial.r = level(h[10], elapsed_s, trial[1], trial[2], advanced_r, returned_r)
    trial.t = level(h[11], elapsed_s, trial[3], trial[4], advanced_t, returned_t)
    trial.dr, trial.dt, trial.mr, trial.mt = set.dr, set.dt, set.mr, set.mt
    set.trial = trial
  end
  return set
end

-- What a set has left of each limit, in the order of their numbers; nil where it has none.
local function left(set, over_the_day)
  return {
    set[2] > 0 and math.floor(set.r) or nil,
    set[4] > 0 and math.floor(set.t) or nil,
    (set[5] > 0 and not over_the_day) and set[5] - set.dr or nil,
    set[6] > 0 and set[6] - set.dt or nil,
    set[7] > 0 and set[7] - set.mr or nil,
    set[8] > 0 and set[8] - set.mt or nil,
  }
end

-- Microseconds until a limit has room for all that is wanted, rounded up so that coming back then is never too early;
-- NEVER where that exceeds all the room that the limit ever has.
local NEVER = -1

local function delay_us(set, limit)
  local wanted = limit % 2 == 1 and wanted_r or wanted_t
  if wanted > math.floor(limit <= 2 and set[2 * limit] or set[limit + 2]) then
    return NEVER
  elseif limit <= 2 then
    return math.ceil((wanted - (limit == 1 and set.r or set.t)) / set[2 * limit - 1] * 1000000) + 1
  end
  return math.ceil(((limit <= 4 and day_end or month_end) * 1000000) - now)
end

local granted = { wanted_r, wanted_t }
local refusing, delay = 0, 0

local function narrow(set, number)
  local room = left(set, above_day and number == 0)
  for limit = 1, 6 do
    local unit = 2 - limit % 2
    local wanted = unit == 1 and wanted_r or wanted_t
    if room[limit] and wanted > 0 then
      granted[unit] = math.min(granted[unit], math.max(0, room[limit]))
      if room[limit] < 1 then
        -- Of several that refuse, the one that refuses longest is told.
        local this = delay_us(set, limit)
        if delay ~= NEVER and (this == NEVER or this > delay) then
          refusing, delay = number + limit, this
        end
      end
    end
  end
end

local trial_at = KEYS[2] and 32 or 24
local tenant = load(KEYS[1], 16, ARGV[trial_at] and trial_at)
local key = KEYS[2] and load(KEYS[2], 24)
narrow(tenant, 0)
if key then
  narrow(key, 10)
end
if even_part > 0 and wanted_r > 0 then
  granted[1] = math.min(granted[1], math.max(0, even_part - tenant.dr))
end
if refusing > 0 or (even_part > 0 and granted[1] == 0) then
  -- Requests without tokens, or the other way round, would help nobody.
  granted = { 0, 0 }
end

-- Limits on trial refuse nobody: they tell whether they would have granted nothing, and go down by what they would have
-- granted of what was granted.
local would_refuse = 0
local trial = tenant.trial
if trial then
  local room = left(trial, false)
  for limit = 1, 6 do
    local wanted = limit % 2 == 1 and wanted_r or wanted_t
    if room[limit] and wanted > 0 and room[limit] < 1 then
      would_refuse = would_refuse + 2 ^ (limit - 1)
    end
  end
  trial.r = trial.r - math.max(0, math.min(granted[1], math.floor(trial.r)))
  trial.t = trial.t - math.max(0, math.min(granted[2], math.floor(trial.t)))
end

local function book(set)
  if set[2] > 0 then
    set.r = set.r - granted[1]
  end
  if set[4] > 0 then
    set.t = set.t - granted[2]
  end
  set.dr, set.mr = set.dr + granted[1], set.mr + granted[1]
  set.dt, set.mt = set.dt + granted[2], set.mt + granted[2]
end

-- Buckets that were left alone long enough to be full, and counts that are over, are the same as none.
local function full_after_s(level, rate, burst)
  return rate > 0 and (burst - level) / rate or 0
end

local function stored_level(level, burst)
  return burst > 0 and level or ''
end

local function store(set)
  redis.call('HSET', set.key, 'at', now, 'd', set.d, 'dr', set.dr, 'dt', set.dt, 'm', set.m, 'mr', set.mr, 'mt', set.mt,
    'r', stored_level(set.r, set[2]), 't', stored_level(set.t, set[4]))
  local kept_s = math.max(full_after_s(set.r, set[1], set[2]), full_after_s(set.t, set[3], set[4]))
  if set.trial then
    redis.call('HSET', set.key, 'sr', stored_level(trial.r, trial[2]), 'st', stored_level(trial.t, trial[4]))
    kept_s = math.max(kept_s, full_after_s(trial.r, trial[1], trial[2]), full_after_s(trial.t, trial[3], trial[4]))
  end
  if set.dr > 0 or set.dt > 0 or set.mr > 0 or set.mt > 0 then
    kept_s = math.max(kept_s, month_end - now_s + CLOCK_BACK_S)
  end
  redis.call('PEXPIRE', set.key, whole(kept_s * 1000 + 1000))
end

book(tenant)
if key then
  book(key)
end
if take then
  store(tenant)
  if key then
    store(key)
  end
end

local answer = {
  0, granted[1], granted[2], refusing, delay, would_refuse,
  tenant.dr, tenant.dt, tenant.mr, tenant.mt, math.floor(tenant.r), math.floor(tenant.t),
}
local function tell(...)
  for i = 1, select('#', ...) do
    answer[#answer + 1] = math.floor((select(i, ...)))
  end
end
if key then
  tell(key.dr, key.dt, key.mr, key.mt, key.r, key.t)
end
if trial then
  tell(trial.r, trial.t)
end
return answer
