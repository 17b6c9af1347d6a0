-- The pools of a region: one for each tier, and one over all. A replica takes shares of them and gives back what it did
-- not use; a tier that finds its own pool empty borrows from others'.
--
-- KEYS: the pools' state. ARGV: 1 mode ("take" changes, "look" only tells), 2 offset_us, 3 number of the tier that takes
--       (lowest rank is 1), 4 wanted, 5 rate and 6 burst of all together, 7 number of tiers n, then for each tier, lowest
--       rank first, eight: name, rate, burst, what it keeps from higher ranks, what it keeps from lower ranks, rate and
--       burst of what it may borrow, and how much of an earlier share of the taking tier comes back to its pool; then,
--       if any, what the taking tier was granted since although its own pool was dry: that pool owes it, and not all together,
--       for the other tiers' sake.
-- Returns {granted, 1 if all together refused, else 2 if the tier did, else 0, delay_us until one is there, level of all
--       together, then for each tier: taken from its pool, level of its pool}.
--
-- A hash holds: at (as in tenant.lua), service (level of all together), p:NAME (level of a tier's pool), b:NAME (level of
-- what it may borrow).
local now = now_us(tonumber(ARGV[2]))
local taker, wanted = tonumber(ARGV[3]), tonumber(ARGV[4])
local service_rate, service_burst, n = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])

local fields, pools = { 'at', 'service' }, {}
for i = 1, n do
  local a = 7 + (i - 1) * 8
  pools[i] = {
    name = ARGV[a + 1], rate = tonumber(ARGV[a + 2]), burst = tonumber(ARGV[a + 3]),
    from_higher = tonumber(ARGV[a + 4]), from_lower = tonumber(ARGV[a + 5]),
    borrow_rate = tonumber(ARGV[a + 6]), borrow_burst = tonumber(ARGV[a + 7]), back = tonumber(ARGV[a + 8]), taken = 0,
  }
  fields[#fields + 1] = 'p:' .. pools[i].name
  fields[#fields + 1] = 'b:' .. pools[i].name
end

local stored = redis.call('HMGET', KEYS[1], unpack(fields))
local elapsed_s = math.max(0, (now - number_or(stored[1], now)) / 1000000)
local service = refilled(stored[2], elapsed_s, service_rate, service_burst)
local back, lent_back = 0, 0
for i, pool in ipairs(pools) do
  pool.level = math.min(pool.burst, refilled(stored[2 * i + 1], elapsed_s, pool.rate, pool.burst) + pool.back)
  pool.may_borrow = refilled(stored[2 * i + 2], elapsed_s, pool.borrow_rate, pool.borrow_burst)
  back = back + pool.back
  if i ~= taker then
    lent_back = lent_back + pool.back
  end
end
service = math.min(service_burst, service + back)
local own = pools[taker]
own.may_borrow = math.min(own.borrow_burst, own.may_borrow + lent_back)
own.level = own.level - tonumber(ARGV[8 + 8 * n] or 0)

-- Its own first; then what others leave unused, the lowest rank's first: a lender keeps more from those below it.
local rest = math.max(0, math.min(wanted, math.floor(service)))
local function draw(pool, most)
  local taken = math.max(0, math.min(rest, math.floor(most)))
  pool.taken, pool.level, rest = pool.taken + taken, pool.level - taken, rest - taken
  return taken
end
local granted = draw(own, own.level)
for i, pool in ipairs(pools) do
  if i ~= taker and rest > 0 then
    local kept = taker > i and pool.from_higher or pool.from_lower
    local lent = draw(pool, math.min(pool.level - kept, own.may_borrow))
    own.may_borrow = own.may_borrow - lent
    granted = granted + lent
  end
end

local refusing, delay_us = 0, 0
if wanted > 0 and granted == 0 then
  local level, rate = own.level, own.rate
  refusing = 2
  if service < 1 then
    level, rate, refusing = service, service_rate, 1
  end
  delay_us = math.max(0, math.ceil((1 - level) / rate * 1000000)) + 1
end
service = service - granted

local answer = { granted, refusing, delay_us, math.floor(service) }
local full_after_s = (service_burst - service) / service_rate
local written = { 'at', now, 'service', service }
for _, pool in ipairs(pools) do
  answer[#answer + 1] = pool.taken
  answer[#answer + 1] = math.floor(pool.level)
  written[#written + 1] = 'p:' .. pool.name
  written[#written + 1] = pool.level
  written[#written + 1] = 'b:' .. pool.name
  written[#written + 1] = pool.may_borrow
  full_after_s = math.max(full_after_s, (pool.burst - pool.level) / pool.rate)
  if pool.borrow_rate > 0 then
    full_after_s = math.max(full_after_s, (pool.borrow_burst - pool.may_borrow) / pool.borrow_rate)
  end
end
if ARGV[1] == 'take' then
  redis.call('HSET', KEYS[1], unpack(written))
  redis.call('PEXPIRE', KEYS[1], whole(full_after_s * 1000 + 1000))
end
return answer
