-- KEYS: bucket. ARGV: rate, burst, offset_us, wanted, returned.
-- Returns {granted, delay_us}; the delay is -1 unless tokens were wanted and none was there.
local rate, burst, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[4])
local now = now_us(tonumber(ARGV[3]))
local tokens = math.min(burst, available(KEYS[1], rate, burst, now) + tonumber(ARGV[5]))
local granted = math.min(wanted, math.floor(tokens))
store(KEYS[1], tokens - granted, rate, burst, now)
if wanted > 0 and granted == 0 then
  return { 0, delay_us(math.min(wanted, burst), tokens, rate) }
end
return { granted, -1 }
