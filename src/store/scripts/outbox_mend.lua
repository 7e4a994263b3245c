-- Mends what is under the keys of an outbox and is not what this program writes.
--
-- KEYS  1 cursor, 2 outbox, 3 health
-- Answers how many entries were set aside, a cursor that is none included.
local spoilt = mend_outbox(KEYS[2])
if not cursor_at(KEYS[1]) then
  -- Before the oldest message that is kept: what was handed over is handed over again, and what is known then is skipped.
  local oldest = redis.call('XRANGE', KEYS[2], OUTBOX_FIRST, OUTBOX_LAST, 'COUNT', 1)[1]
  local position = oldest and tonumber(string.match(oldest[1], '-(%d+)$')) - 1 or last_position(KEYS[2])
  redis.call('DEL', KEYS[1])
  redis.call('SET', KEYS[1], string.format('%.0f', position))
  spoilt = spoilt + 1
end
note_outbox(KEYS[3], 0, spoilt)
return spoilt
