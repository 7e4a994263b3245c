-- Removes an endpoint except its pending deliveries.
--
-- KEYS  1 health, 2 log of pending, 3 log of delivered, 4 log of dead deliveries
-- ARGV  1 endpoint, 2 prefix of the keys of deliveries, before the id
-- Returns the number of pending deliveries.
local slot = string.match(KEYS[1], '^[^}]*}:')
for _, log in ipairs({ KEYS[3], KEYS[4] }) do
  for _, position in ipairs(redis.call('ZRANGE', log, 0, -1)) do
    local record = ARGV[2] .. string.match(position, '^%d+:%d+:(.*)$')
    if log == KEYS[4] then
      count_delivery(slot, ARGV[1], -bytes_of_delivery(record))
    end
    redis.call('UNLINK', record)
  end
  redis.call('DEL', log)
end
redis.call('HDEL', KEYS[1], ARGV[1] .. ':ok', ARGV[1] .. ':bad', ARGV[1] .. ':lost', ARGV[1] .. ':err')
count_history(slot, ARGV[1], nil)
local pending = redis.call('ZCARD', KEYS[2])
if pending == 0 then
  attempt('HDEL', slot .. 'bytes-deliveries', ARGV[1])
end
return pending
