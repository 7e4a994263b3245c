-- How much lies in a node's queues.
--
-- KEYS  1 cursor, 2 outbox, 3 due, 4 health
-- Answers {messages after the cursor, queues, messages that the outbox had no room for}.
local cursor = tonumber(redis.call('GET', KEYS[1]) or '0')
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
local written = last and tonumber(string.match(last[1], '-(%d+)$')) or 0
local queues = 0
for _, member in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do
  queues = queues + redis.call('ZCARD', KEYS[3] .. ':' .. string.match(member, ':(.*)$'))
end
return { math.max(written - cursor, 0), queues, redis.call('HGET', KEYS[4], 'lost') or 0 }
