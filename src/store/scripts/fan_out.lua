-- Moves the cursor and queues what was read up to it.
--
-- KEYS  1 cursor, 2 outbox, 3 ready, then for each delivery the list of its queue
-- ARGV  1 the cursor as it was read, 2 the cursor after, 3 how many messages to keep behind it, 4 number of
--       deliveries; then for each the name of its queue, and the delivery
-- Answers 1 when it is done, 0 when the cursor is elsewhere.
if (redis.call('GET', KEYS[1]) or '0') ~= ARGV[1] then
  return 0
end
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
for n = 1, tonumber(ARGV[4]) do
  redis.call('RPUSH', KEYS[3 + n], ARGV[4 + 2 * n])
  -- A queue that is there already is due when its head is.
  redis.call('ZADD', KEYS[3], 'NX', now, ARGV[3 + 2 * n])
end
redis.call('SET', KEYS[1], ARGV[2])
local first_kept = tonumber(ARGV[2]) - tonumber(ARGV[3]) + 1
if first_kept > 1 then
  redis.call('XTRIM', KEYS[2], 'MINID', string.format('0-%.0f', first_kept))
end
return 1
