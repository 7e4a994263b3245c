-- A part of a long list.
--
-- KEYS  1 list
-- ARGV  1 where to begin, as BYLEX takes it, 2 how many
return rope_range(KEYS[1], ARGV[1], tonumber(ARGV[2]))
