-- Claims the heads of queues that are due.
--
-- KEYS  1 ready, 2 claims, 3 failed
-- ARGV  1 what stands before the node's keys, 2 visibility in ms, 3 how many at most, 4 token
-- Answers, flat, for each the name of the queue, how often its head has failed, for how many ms, the message.
--
-- The keys of queues and deliveries follow from what is ready, so they cannot be among KEYS; they are in the same slot.
local prefix = ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local again = string.format('%.0f', now + ARGV[2])
local due = redis.call('ZRANGE', KEYS[1], '-inf', string.format('%.0f', now), 'BYSCORE', 'LIMIT', 0, ARGV[3])
local claimed = {}
for _, queue in ipairs(due) do
  local list = prefix .. 'queue:' .. queue
  local deliveries = prefix .. 'delivery:' .. string.match(queue, '^[^:]*') .. ':'
  local head, message
  repeat
    head = redis.call('LINDEX', list, 0)
    message = head and redis.call('HGET', deliveries .. head, 'm')
    if head and not message then
      -- Someone deleted the delivery by hand.
      redis.call('LPOP', list)
      redis.call('HDEL', KEYS[3], queue)
    end
  until message or not head
  if head then
    redis.call('ZADD', KEYS[1], again, queue)
    redis.call('HSET', KEYS[2], queue, ARGV[4])
    local times, since = string.match(redis.call('HGET', KEYS[3], queue) or '0 ', '^(%d+) (%d*)$')
    claimed[#claimed + 1] = queue
    claimed[#claimed + 1] = times or '?'
    claimed[#claimed + 1] = string.format('%.0f', math.max(now - (tonumber(since) or now), 0))
    claimed[#claimed + 1] = message
  else
    -- Its head was parked and nothing came behind it, or someone deleted the list by hand.
    redis.call('ZREM', KEYS[1], queue)
  end
end
return claimed
