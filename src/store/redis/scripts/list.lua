-- Reads a part of a long list.
--
-- KEYS  1 list
-- ARGV  1 start, a BYLEX bound, 2 limit
return rope_range(KEYS[1], ARGV[1], tonumber(ARGV[2]))
