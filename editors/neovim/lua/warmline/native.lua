-- Accepts a word or a line of vim.lsp.inline_completion on Neovim 0.12, which itself only accepts all.
local ghost = require("warmline.ghost")

local M = {}

--- Accepts the next "word" or "line"; false if nothing is shown.
function M.accept(part)
  return vim.lsp.inline_completion.get({
    on_accept = function(item)
      -- returning nil makes Neovim insert nothing; an expression mapping may not change text
      vim.schedule(function()
        M._insert(item, part)
      end)
    end,
  })
end

function M._insert(item, part)
  local text = type(item.insert_text) == "table" and item.insert_text.value or item.insert_text
  text = ghost.with_newlines(text)
  local row, column = unpack(vim.api.nvim_win_get_cursor(0))
  local start_row, start_column = M._start(item.range)
  if start_row and start_row ~= row - 1 then
    return
  end
  -- text typed since the request
  local typed = start_row and vim.api.nvim_get_current_line():sub(start_column + 1, column) or ""
  if vim.startswith(text, typed) then
    ghost.break_undo()
    ghost.insert(0, row - 1, column, ghost.first_part(text:sub(#typed + 1), part))
  end
end

--- Start of a range; nothing without a range. Units: row and column from 0, in bytes.
function M._start(range)
  if not range then
    return
  end
  -- versions of Neovim 0.12 have one form or the other
  return range.start_row or range.start.row, range.start_col or range.start.col
end

return M
