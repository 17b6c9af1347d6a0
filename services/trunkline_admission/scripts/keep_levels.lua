-- Keeps new levels unless another replica was first.
--
-- KEYS: levels. ARGV: version that was read (empty for none), new version, text, ttl_s. Returns 1, or 0 if it had changed.
local version = redis.call('HGET', KEYS[1], 'version') or ''
if version ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'text', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
