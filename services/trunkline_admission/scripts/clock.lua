-- Included before each script of the quota. Numbers that the store gives back are checked: it may hold anything.

-- Time comes from the server, so that replicas need no common clock; `offset_us` is 0 except in tests of clock jumps.
local function now_us(offset_us)
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2]) + offset_us
end

-- A stored number, or `default` where there is none: nothing stored, no number, or one that is not a number.
local function number_or(stored, default)
  local number = stored and tonumber(stored)
  if not number or number ~= number then
    return default
  end
  return number
end

-- What a bucket holds `elapsed_s` after it held `stored`; it starts full. A clock that stepped back refills nothing, one
-- that leapt ahead fills it once and no more. What stands below 0 is a debt, at most one burst.
local function refilled(stored, elapsed_s, rate, burst)
  local level = number_or(stored, burst)
  return math.max(-burst, math.min(burst, level + elapsed_s * rate))
end

-- A whole number as commands read it. Others need no care: redis.call writes a number with all its digits.
local function whole(number)
  return string.format('%.0f', math.ceil(number))
end
