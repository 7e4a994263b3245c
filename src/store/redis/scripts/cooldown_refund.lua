-- Returns a cooldown, if this holder still has it.
--
-- KEYS  1 cooldown
-- ARGV  1 holder
if attempt('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 0
