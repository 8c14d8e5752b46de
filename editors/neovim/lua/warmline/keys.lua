-- Keys in insert mode. If an action does not apply, its key does what it did before: its earlier mapping or itself.
local M = {}

local PREFIX = "Warmline: " -- of the description of each mapping

local function native_accept()
  -- setting an option is allowed inside an expression mapping
  require("warmline.ghost").break_undo()
  return vim.lsp.inline_completion.get()
end

--- Whether the key is Tab and indents here instead of accepting.
local function indents(key)
  return key:lower() == "<tab>" and not require("warmline.ghost").accepts_tab()
end

local function actions()
  local warmline, ghost = require("warmline"), require("warmline.ghost")
  local native = require("warmline.native")
  local is_native = warmline.options.native
  return {
    accept = is_native and native_accept or function()
      return ghost.accept("all")
    end,
    accept_word = function()
      return (is_native and native or ghost).accept("word")
    end,
    accept_line = function()
      return (is_native and native or ghost).accept("line")
    end,
    dismiss = not is_native and function()
      local was_shown = ghost.is_shown()
      ghost.dismiss()
      return was_shown
    end or nil,
    next = is_native and function()
      vim.lsp.inline_completion.select()
      return true
    end or function()
      ghost.next()
      return true
    end,
    trigger = not is_native and function()
      ghost.request(1)
      return true
    end or nil,
  }
end

function M.map(keys)
  for name, action in pairs(actions()) do
    local key = keys[name]
    if key then
      M._map(key, name, action)
    end
  end
end

local earlier = {} -- by key: { keys, remaps }, the user's mapping
local is_falling_back = {} -- by key: whether the user's mapping is running

function M._map(key, name, action)
  local is_native = require("warmline").options.native
  local needs_text = name:match("^accept") or name == "dismiss"
  M._save_earlier(key)
  vim.keymap.set("i", key, function()
    -- in an open popup menu, the key chooses an entry
    if name == "accept" and vim.fn.pumvisible() == 1 then
      return M._fall_back(key)
    end
    if needs_text and not is_native then
      local ghost = require("warmline.ghost")
      if not ghost.is_shown() or (name:match("^accept") and indents(key)) then
        return M._fall_back(key)
      end
      -- an expression mapping may not change text
      vim.schedule(action)
      return ""
    end
    return action() and "" or M._fall_back(key)
  end, { expr = true, replace_keycodes = true, desc = PREFIX .. name })
end

--- Saves the user's mapping of a key under a <Plug> name.
function M._save_earlier(key)
  local raw = vim.api.nvim_replace_termcodes(key, true, true, true)
  for _, found in ipairs(vim.api.nvim_get_keymap("i")) do
    local is_key = found.lhsraw == raw or found.lhsrawalt == raw
    -- do not save Warmline's own mapping when setup is called again
    if is_key and not vim.startswith(found.desc or "", PREFIX) then
      local lhs = "<Plug>(warmline-earlier-" .. key:gsub("[<>]", "") .. ")"
      found.lhs, found.lhsrawalt = lhs, nil
      found.lhsraw = vim.api.nvim_replace_termcodes(lhs, true, true, true)
      vim.fn.mapset("i", false, found)
      earlier[key] = { keys = found.lhsraw, remaps = found.noremap == 0 }
    end
  end
end

--- Runs the earlier mapping of a key; returns the key if there is none.
function M._fall_back(key)
  local mapping = earlier[key]
  if not mapping or is_falling_back[key] then
    return key
  end
  if mapping.remaps then
    -- such a mapping often returns the key itself, which calls this function again
    is_falling_back[key] = true
    vim.schedule(function()
      is_falling_back[key] = nil
    end)
  end
  vim.api.nvim_feedkeys(mapping.keys, "mi", false)
  return ""
end

return M
