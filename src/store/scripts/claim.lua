-- Claims the heads of queues that are due.
--
-- KEYS  1 ready, 2 claims, 3 failed
-- ARGV  1 what stands before the node's keys, 2 visibility in ms, 3 how many at most, 4 token, 5 how many of one receiver
--       at most, 6 how many queues to look at, 7 for how many ms those of receivers that have so many are put off when
--       that was all of them; then receivers, and how many each has already
-- Answers, flat, for each the name of the queue, how often its head has failed, for how many ms, the message.
--
-- The keys of queues and deliveries follow from what is ready, so they cannot be among KEYS; they are in the same slot.
local prefix = ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local again = string.format('%.0f', now + ARGV[2])
local most, each, look_at = tonumber(ARGV[3]), tonumber(ARGV[5]), tonumber(ARGV[6])
local has = {}
for n = 8, #ARGV, 2 do
  has[ARGV[n]] = tonumber(ARGV[n + 1])
end
local due = redis.call('ZRANGE', KEYS[1], '-inf', string.format('%.0f', now), 'BYSCORE', 'LIMIT', 0, math.max(look_at, most))
local claimed, passed = {}, {}
for _, queue in ipairs(due) do
  if #claimed >= 4 * most then
    break
  end
  local endpoint = string.match(queue, '^[^:]*')
  if (has[endpoint] or 0) >= each then
    passed[#passed + 1] = queue
  else
    local list = prefix .. 'queue:' .. queue
    local deliveries = prefix .. 'delivery:' .. endpoint .. ':'
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
      has[endpoint] = (has[endpoint] or 0) + 1
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
end
if #passed >= look_at then
  local later = string.format('%.0f', now + ARGV[7])
  for _, queue in ipairs(passed) do
    redis.call('ZADD', KEYS[1], later, queue)
  end
end
return claimed
