-- KEYS: bucket, permit. ARGV: offset_us, nonce, charged.
-- Returns {1, refunded}, {0, 0} for an unknown permit, or {2, reserved} where more was charged than reserved.
local permit = redis.call('HMGET', KEYS[2], 'nonce', 'cost', 'charged', 'rate', 'burst')
if permit[1] ~= ARGV[2] then
  return { 0, 0 }
end
local cost, charged = tonumber(permit[2]), tonumber(ARGV[3])
if charged > cost then
  return { 2, cost }
end
if permit[3] then
  if tonumber(permit[3]) ~= charged then
    return { 0, 0 }
  end
  return { 1, cost - charged }
end
redis.call('HSET', KEYS[2], 'charged', charged)
if charged < cost and redis.call('EXISTS', KEYS[1]) == 1 then
  local rate, burst = tonumber(permit[4]), tonumber(permit[5])
  local now = now_us(tonumber(ARGV[1]))
  local tokens = available(KEYS[1], rate, burst, now)
  store(KEYS[1], math.min(burst, tokens + cost - charged), rate, burst, now)
end
return { 1, cost - charged }
