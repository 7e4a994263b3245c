-- How much lies in a node's queues.
--
-- KEYS  1 cursor, 2 outbox, 3 due, 4 health
-- Answers {messages after the cursor, queues, messages that the outbox had no room for, messages that were missing of it,
-- entries that could not be read, for how many ms one of both has been known (-1: there was none)}.
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
