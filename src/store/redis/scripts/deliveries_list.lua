-- Rows of the log of a receiver, the latest first.
--
-- KEYS  1 log
-- ARGV  1 below which position ('' from the top), 2 how many to look at, 3 what stands before the id of a delivery in
--       its key
-- Answers {the last position that was looked at ('' for none left), {fields and values of each delivery}}.
local from = ARGV[1] == '' and '+' or '(' .. ARGV[1]
local positions = attempt('ZRANGE', KEYS[1], from, '-', 'BYLEX', 'REV', 'LIMIT', 0, ARGV[2]) or {}
local rows = {}
for _, position in ipairs(positions) do
  local id = string.match(position, '^%d+:%d+:(.*)$')
  local row = id and attempt('HGETALL', ARGV[3] .. id) or {}
  -- Its keeping time is over.
  if #row > 0 then
    rows[#rows + 1] = row
  end
end
local last = #positions == tonumber(ARGV[2]) and positions[#positions] or ''
return { last, rows }
