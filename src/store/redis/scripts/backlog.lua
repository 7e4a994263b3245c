-- Counts the messages and queues of a node.
--
-- KEYS  1 cursor, 2 outbox, 3 due, 4 health
-- Returns {messages after the cursor, queues, messages that did not fit into the outbox, missing messages, unreadable
-- entries, ms since one of the last two grew (-1: never)}.
local cursor = cursor_at(KEYS[1]) or 0
local last = last_position(KEYS[2], cursor)
local queues = 0
for _, member in ipairs(attempt('ZRANGE', KEYS[3], 0, -1) or {}) do
  queues = queues + (attempt('ZCARD', KEYS[3] .. ':' .. (string.match(member, ':(.*)$') or '')) or 0)
end
local noted = attempt('HMGET', KEYS[4], 'lost', 'outbox:missing', 'outbox:unreadable', 'outbox:at') or {}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ago = noted[4] and math.max(now - (tonumber(noted[4]) or now), 0) or -1
return { math.max(last - cursor, 0), queues, noted[1] or 0, noted[2] or 0, noted[3] or 0, ago }
