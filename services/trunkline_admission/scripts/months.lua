-- Tells which store this is, and gives sums of months back to one that has lost them.
--
-- KEYS: the store's mark, then months. ARGV: the mark for a store that has none, seconds that all is kept, and then for each
-- sum the place of its month among KEYS, the tenant and the micros. A sum is only ever raised, so it may be given back by
-- several replicas and as often as they like. Returns the store's mark, and how many sums were raised.
redis.call('HSETNX', KEYS[1], 'mark', ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
local raised = 0
for at = 3, #ARGV, 3 do
  local key, tenant, micros = KEYS[tonumber(ARGV[at])], ARGV[at + 1], ARGV[at + 2]
  if number_or(redis.call('HGET', key, tenant), 0) < tonumber(micros) then
    redis.call('HSET', key, tenant, micros)
    redis.call('EXPIRE', key, ARGV[2])
    raised = raised + 1
  end
end
return { redis.call('HGET', KEYS[1], 'mark'), raised }
