-- Reads rows of the log of an endpoint, the latest first.
--
-- KEYS  1 log
-- ARGV  1 upper position ('' from the top), 2 number of rows to visit, 3 prefix of the keys of deliveries, before the id
-- Returns {the last visited position ('' at the end), {fields and values of each delivery}}.
local from = ARGV[1] == '' and '+' or '(' .. ARGV[1]
local positions = attempt('ZRANGE', KEYS[1], from, '-', 'BYLEX', 'REV', 'LIMIT', 0, ARGV[2]) or {}
local rows = {}
for _, position in ipairs(positions) do
  local id = string.match(position, '^%d+:%d+:(.*)$')
  local row = id and attempt('HGETALL', ARGV[3] .. id) or {}
  -- An empty row has expired.
  if #row > 0 then
    rows[#rows + 1] = row
  end
end
local last = #positions == tonumber(ARGV[2]) and positions[#positions] or ''
return { last, rows }
