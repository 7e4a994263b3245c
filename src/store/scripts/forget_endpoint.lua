-- Forgets a receiver but for what is pending.
--
-- KEYS  1 health, 2 log of the pending, 3 log of the delivered, 4 log of the dead
-- ARGV  1 receiver, 2 what stands before the id of a delivery in its key
-- Answers how many are pending.
for _, log in ipairs({ KEYS[3], KEYS[4] }) do
  for _, position in ipairs(redis.call('ZRANGE', log, 0, -1)) do
    redis.call('UNLINK', ARGV[2] .. string.match(position, '^%d+:%d+:(.*)$'))
  end
  redis.call('DEL', log)
end
redis.call('HDEL', KEYS[1], ARGV[1] .. ':ok', ARGV[1] .. ':bad', ARGV[1] .. ':lost')
return redis.call('ZCARD', KEYS[2])
