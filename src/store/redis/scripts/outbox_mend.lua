-- Mends what is under the keys of an outbox and is not what this program writes, and makes the due times of its queues
-- readable again.
--
-- KEYS  1 cursor, 2 outbox, 3 health, 4 due
-- Answers {how many entries were set aside, a cursor that is none included; how many other keys were made anew}.
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
  -- Before the oldest message that is kept: what was handed over is handed over again, and what is known then is skipped.
  local oldest = redis.call('XRANGE', KEYS[2], OUTBOX_FIRST, OUTBOX_LAST, 'COUNT', 1)[1]
  local position = oldest and tonumber(string.match(oldest[1], '-(%d+)$')) - 1 or last
  move_aside(KEYS[1], 'the cursor was no number')
  redis.call('SET', KEYS[1], string.format('%.0f', position))
  spoilt = spoilt + 1
end
note_outbox(KEYS[3], 0, spoilt)
return { spoilt, others }
