-- Repairs the keys of an outbox that this program did not write, and the due times of its queues.
--
-- KEYS  1 cursor, 2 outbox, 3 health, 4 due
-- Returns {number of entries that were set aside, including an invalid cursor; number of other keys that were rebuilt}.
local spoilt, others = mend_outbox(KEYS[2]), 0
local last_before = redis.pcall('GET', KEYS[2] .. ':last')
local last = last_position(KEYS[2])
if type(last_before) == 'table' or (last_before and not string.match(last_before, '^%d+$')) then
  others = others + 1
end
if not attempt('ZCARD', KEYS[4]) then
  on_due(KEYS[4], 'ZCARD')
  others = others + 1
end
local cursor = cursor_at(KEYS[1])
if not cursor then
  -- Before the oldest kept message: queued messages are queued again, and the known deliveries are skipped.
  local oldest = redis.call('XRANGE', KEYS[2], OUTBOX_FIRST, OUTBOX_LAST, 'COUNT', 1)[1]
  local position = oldest and tonumber(string.match(oldest[1], '-(%d+)$')) - 1 or last
  move_aside(KEYS[1], 'the cursor was no number')
  redis.call('SET', KEYS[1], string.format('%.0f', position))
  spoilt = spoilt + 1
end
note_outbox(KEYS[3], 0, spoilt)
return { spoilt, others }
