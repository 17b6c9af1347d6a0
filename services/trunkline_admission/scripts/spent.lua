-- Tells what a tenant's month has cost; changes nothing.
--
-- KEYS: the month's sums. ARGV: tenant. Returns micros.
return tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or 0) or 0
