-- KEYS: bucket, permit. ARGV: rate, burst, offset_us, cost, permit_ttl_ms, nonce.
-- Returns {1, nonce, cost, expires_at_us} (the earlier permit's if there is one) or {0, delay_us}, -1 for never.
local rate, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[4])
local earlier = redis.call('HMGET', KEYS[2], 'nonce', 'cost', 'expires_at_us')
if earlier[1] then
  return { 1, earlier[1], tonumber(earlier[2]), earlier[3] }
end
local now = now_us(tonumber(ARGV[3]))
local tokens = available(KEYS[1], rate, burst, now)
if cost > burst then
  return { 0, -1 }
end
if cost > tokens then
  return { 0, delay_us(cost, tokens, rate) }
end
store(KEYS[1], tokens - cost, rate, burst, now)
local expires_at_us = string.format('%.0f', now + tonumber(ARGV[5]) * 1000)
redis.call('HSET', KEYS[2], 'nonce', ARGV[6], 'cost', cost, 'expires_at_us', expires_at_us, 'rate', ARGV[1], 'burst', ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
return { 1, ARGV[6], cost, expires_at_us }
