-- Adds entries to an audit log, and drops the oldest ones beyond its limits.
--
-- KEYS  1 log
-- ARGV  1 limit of entries, 2 beginning of the ids of the oldest entries to keep, 3 time for which they are kept, ms;
--       then the entries
--
-- An entry begins with its id. One that is stored already comes from a request whose answer was lost.
for n = 4, #ARGV do
  replace('ZADD', KEYS[1], 0, ARGV[n])
end
local over = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[1])
if over > 0 then
  redis.call('ZREMRANGEBYRANK', KEYS[1], 0, over - 1)
end
redis.call('ZREMRANGEBYLEX', KEYS[1], '-', '(' .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
