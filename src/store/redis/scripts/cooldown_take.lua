-- Takes a cooldown, or returns the time until it is free.
--
-- KEYS  1 cooldown
-- ARGV  1 holder, 2 window in ms
-- Returns -1 if the holder has it, now or by an earlier transmission; else the ms left.
local holder = replace('GET', KEYS[1])
if not holder then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return -1
end
if holder == ARGV[1] then
  return -1
end
return math.max(redis.call('PTTL', KEYS[1]), 0)
