-- Tells accounts of promises; changes nothing.
--
-- KEYS: silence, outages, troubled tenants, accounts. ARGV: how many troubled tenants to name.
-- Returns {now_ms, {silence's fields and values}, {outages}, {troubled tenants, latest first}, {each account's fields ...}}.
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local named, accounts = tonumber(ARGV[1]), {}
for index = 4, #KEYS do
  table.insert(accounts, redis.call('HGETALL', KEYS[index]))
end
local troubled = named > 0 and redis.call('ZREVRANGE', KEYS[3], 0, named - 1) or {}
return { now_ms, redis.call('HGETALL', KEYS[1]), redis.call('LRANGE', KEYS[2], 0, -1), troubled, accounts }
