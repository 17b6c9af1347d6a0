-- Sums up the last seconds of all routers, and tells the levels that hold.
--
-- KEYS: levels, routers, 16 windows of one second. ARGV: window_s, fresh_s.
-- Returns {now_ms, version, levels, routers, {field, sum, ...}}; empty texts where no levels are kept.
local WINDOWS, FIRST_WINDOW = 16, 3
local window_s, fresh_s = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now_s = tonumber(time[1])
local sums, seconds = {}, 0
for age_s = 0, window_s - 1 do
  local second = now_s - age_s
  local fields = redis.call('HGETALL', KEYS[FIRST_WINDOW + second % WINDOWS])
  local kept = {}
  for index = 1, #fields, 2 do
    kept[fields[index]] = fields[index + 1]
  end
  if kept.at == string.format('%.0f', second) then
    seconds = seconds + 1
    kept.at = nil
    for field, text in pairs(kept) do
      local number = tonumber(text)
      if string.sub(field, 1, 2) ~= 'u/' then
        sums[field] = (sums[field] or 0) + number
      elseif age_s < fresh_s then
        sums[field] = math.max(sums[field] or 0, number)
      end
    end
  end
end
local told = { 'seconds', tostring(seconds) }
for field, number in pairs(sums) do
  table.insert(told, field)
  table.insert(told, string.format('%.6f', number))
end
local levels = redis.call('HMGET', KEYS[1], 'version', 'text')
local routers = redis.call('ZCOUNT', KEYS[2], now_s - window_s, '+inf')
local now_ms = now_s * 1000 + math.floor(tonumber(time[2]) / 1000)
return { now_ms, levels[1] or '', levels[2] or '', routers, told }
