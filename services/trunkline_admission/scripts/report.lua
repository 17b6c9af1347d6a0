-- Counts one part of a router's report, once.
--
-- KEYS: routers, or those that tell of other regions' costs (sorted by when they were last seen), their sequences, silence,
-- outages, troubled tenants, 16 windows of one second, and then those that ARGV names by their place. ARGV: the part as JSON, see promise_store.py.
-- Returns {1, now_ms, {spent micros of each tenant in its month}}, or 0 for the 1 of a part that was counted before.
local part = cjson.decode(ARGV[1])
local time = redis.call('TIME')
local now_s = tonumber(time[1])
local now_ms = now_s * 1000 + math.floor(tonumber(time[2]) / 1000)
local hour, day = math.floor(now_s / 3600), math.floor(now_s / 86400)
local WINDOWS, FIRST_WINDOW = 16, 6

local function whole(number)
  return string.format('%.0f', number)
end

-- Parts of a report are counted in their order, each once, whichever replica brings them.
local before = redis.call('HGET', KEYS[2], part.router)
local sequence, parts = 0, 0
if before then
  local kept_sequence, kept_parts = string.match(before, '^(%d+):(%d+)$')
  sequence, parts = tonumber(kept_sequence) or 0, tonumber(kept_parts) or 0
end
local due = -1
if part.sequence > sequence then
  due = 0
elseif part.sequence == sequence then
  due = parts
end
if part.part ~= due then
  local spent = {}
  for _, tenant in ipairs(part.tenants) do
    table.insert(spent, tonumber(redis.call('HGET', KEYS[tenant.month], tenant.name) or 0))
  end
  return { 0, now_ms, spent }
end
redis.call('HSET', KEYS[2], part.router, whole(part.sequence) .. ':' .. whole(part.part + 1))
redis.call('ZADD', KEYS[1], now_s, part.router)
if redis.call('ZCARD', KEYS[1]) > part.max_routers then
  local oldest = redis.call('ZPOPMIN', KEYS[1])
  redis.call('HDEL', KEYS[2], oldest[1])
end

-- A silence that is over was an outage, unless a router lived through it: then what it reports tells what happened. The
-- time in which the map had the region down was one in any case, less the calls that were served all the same.
local function listen()
  local at_ms, downed = unpack(redis.call('HMGET', KEYS[3], 'at_ms', 'downed'))
  if part.down then
    redis.call('HSETNX', KEYS[3], 'at_ms', whole(now_ms))
    redis.call('HSET', KEYS[3], 'downed', '1')
    for _, tier in ipairs(part.tiers) do
      redis.call('HINCRBY', KEYS[3], 'served:' .. tier.name, whole(tier.calls))
    end
    return
  end
  local silent_ms = now_ms - (tonumber(at_ms or now_ms) or now_ms)
  if silent_ms > part.silent_ms and (downed or not before) and not part.planned then
    local outage = { '{"from_ms":' .. at_ms .. ',"to_ms":' .. whole(now_ms) .. ',"served":{' }
    local comma, fields = '', redis.call('HGETALL', KEYS[3])
    for index = 1, #fields, 2 do
      local tier = string.match(fields[index], '^served:(.+)$')
      if tier then
        table.insert(outage, comma .. cjson.encode(tier) .. ':' .. fields[index + 1])
        comma = ','
      end
    end
    redis.call('RPUSH', KEYS[4], table.concat(outage) .. '}}')
    redis.call('LTRIM', KEYS[4], -part.max_outages, -1)
  end
  if downed then
    redis.call('DEL', KEYS[3])
  end
  redis.call('HSET', KEYS[3], 'at_ms', whole(now_ms))
end

local function window()
  local key = KEYS[FIRST_WINDOW + now_s % WINDOWS]
  if redis.call('HGET', key, 'at') ~= whole(now_s) then
    redis.call('DEL', key)
    redis.call('HSET', key, 'at', whole(now_s))
    redis.call('EXPIRE', key, 60)
  end
  for _, tier in ipairs(part.tiers) do
    redis.call('HINCRBY', key, 'c/' .. tier.name, whole(tier.calls))
    redis.call('HINCRBY', key, 'e/' .. tier.name, whole(tier.load_errors))
    for bucket, count in pairs(tier.counts) do
      redis.call('HINCRBY', key, bucket .. '/' .. tier.name, whole(count))
    end
    local used = redis.call('HGET', key, 'u/' .. tier.name)
    if not used or tonumber(used) < tier.utilisation then
      redis.call('HSET', key, 'u/' .. tier.name, string.format('%.6f', tier.utilisation))
    end
  end
end

-- Adds to one hour or day; returns true for a new one.
local function add(key, mark, index, seen)
  local calls = redis.call('HINCRBY', key, mark .. 'c' .. index, whole(seen.calls))
  if seen.errors > 0 then
    redis.call('HINCRBY', key, mark .. 'e' .. index, whole(seen.errors))
  end
  if seen.slow > 0 then
    redis.call('HINCRBY', key, mark .. 's' .. index, whole(seen.slow))
  end
  return calls == seen.calls
end

local function account(key, seen, keep_hours, keep_days)
  if seen.calls == 0 then
    return
  end
  local fresh = add(key, 'h', hour, seen)
  if keep_days > 0 then
    add(key, 'd', day, seen)
  end
  if not fresh then
    return
  end
  for _, field in ipairs(redis.call('HKEYS', key)) do
    local mark, index = string.match(field, '^(%a)%a(%d+)$')
    index = tonumber(index)
    if (mark == 'h' and index <= hour - keep_hours) or (mark == 'd' and index <= day - keep_days) then
      redis.call('HDEL', key, field)
    end
  end
  redis.call('EXPIRE', key, part.account_ttl_s)
end

if part.part == 0 and part.fronts then
  listen()
  if not part.late then
    window()
  end
end
for _, tier in ipairs(part.tiers) do
  account(KEYS[tier.key], tier, part.tier_hours, 0)
end
local spent, months = {}, {}
for _, tenant in ipairs(part.tenants) do
  account(KEYS[tenant.key], tenant, part.tenant_hours, part.tenant_days)
  if tenant.errors > 0 then
    redis.call('ZADD', KEYS[5], now_s, tenant.name)
  end
  table.insert(spent, redis.call('HINCRBY', KEYS[tenant.month], tenant.name, whole(tenant.cost_micros)))
  months[tenant.month] = true
end
for month in pairs(months) do
  redis.call('EXPIRE', KEYS[month], part.month_ttl_s)
end
redis.call('ZREMRANGEBYRANK', KEYS[5], 0, -part.max_troubled - 1)
return { 1, now_ms, spent }
