-- Warmline for Neovim 0.10 and newer: starts the language server for files and shows its completions.
--
--   require("warmline").setup({ settings = { languages = { python = true } } })
local compat = require("warmline.compat")
local process = require("warmline.process")

local M = {}

local CURSOR_EVERY_MS = 60

M.defaults = {
  command = { "warmline", "lsp" },
  settings = {}, -- the server's settings, as in README
  filetypes = false, -- a list; false: all, the server knows which the model serves
  native = vim.lsp.inline_completion ~= nil, -- show completions by Neovim's own means (0.12)
  keys = { -- false leaves a key alone
    accept = "<Tab>",
    accept_word = "<M-Right>",
    accept_line = "<M-Down>",
    dismiss = "<C-]>",
    next = "<M-]>",
    trigger = "<M-\\>",
  },
}

M.options = vim.deepcopy(M.defaults)
M.last_status = nil

--- Starts Warmline for files that are opened from now on, and for those that are.
function M.setup(options)
  M._check(options)
  M.options = vim.tbl_deep_extend("force", vim.deepcopy(M.defaults), options or {})
  local group = vim.api.nvim_create_augroup("warmline", { clear = true })
  vim.api.nvim_create_autocmd("FileType", {
    group = group,
    callback = function(event)
      M.attach(event.buf)
    end,
  })
  require("warmline.keys").map(M.options.keys)
  if not M.options.native then
    require("warmline.ghost").follow(group)
  end
  M._follow_cursor(group)
  for _, buffer in ipairs(vim.api.nvim_list_bufs()) do
    if vim.api.nvim_buf_is_loaded(buffer) then
      M.attach(buffer)
    end
  end
end

function M._check(options)
  if options ~= nil and type(options) ~= "table" then
    error("warmline: options: expected a table, got " .. type(options))
  end
  for name in pairs(options or {}) do
    if M.defaults[name] == nil then
      error("warmline: option '" .. name .. "' is unknown")
    end
  end
end

--- Starts the server, one for all buffers, and gives it this one.
function M.attach(buffer)
  local filetype = vim.bo[buffer].filetype
  local chosen = M.options.filetypes
  if vim.bo[buffer].buftype ~= "" or filetype == "" then
    return
  end
  if chosen and not vim.tbl_contains(chosen, filetype) then
    return
  end
  local capabilities = vim.lsp.protocol.make_client_capabilities()
  capabilities.textDocument.inlineCompletion = { dynamicRegistration = false }
  -- the server sends only those of its own notifications that are named here
  capabilities.experimental = vim.tbl_extend("force", capabilities.experimental or {}, {
    warmline = { status = true, better = not M.options.native },
  })
  process.start_server({
    name = "warmline",
    cmd = M.options.command,
    capabilities = capabilities,
    settings = { warmline = M._settings() },
    init_options = M._settings(),
    root_dir = vim.fs.root(buffer, ".git"),
    handlers = {
      ["warmline/status"] = function(_, status)
        M.last_status = status
        vim.api.nvim_exec_autocmds("User", { pattern = "WarmlineStatus" })
      end,
      ["warmline/better"] = function(_, told)
        if not M.options.native then
          require("warmline.ghost").request_again(told)
        end
      end,
    },
    on_attach = function(client, attached)
      M._tell_folder(client, vim.fs.root(attached, ".git"))
      if M.options.native then
        vim.lsp.inline_completion.enable(true, { bufnr = attached, client_id = client.id })
      end
    end,
  }, {
    bufnr = buffer,
    -- all buffers share one server, whatever their root
    reuse_client = function(client)
      return client.name == "warmline" and not compat.is_stopped(client)
    end,
  })
end

--- Tells the one server of a project that a buffer is in.
function M._tell_folder(client, root)
  client.warmline_folders = client.warmline_folders or { [client.root_dir or ""] = true }
  if root and not client.warmline_folders[root] then
    client.warmline_folders[root] = true
    local added = { { uri = vim.uri_from_fname(root), name = vim.fs.basename(root) } }
    compat.notify(client, "workspace/didChangeWorkspaceFolders", {
      event = { added = added, removed = {} },
    })
  end
end

function M.client(buffer)
  return vim.lsp.get_clients({ bufnr = buffer or 0, name = "warmline" })[1]
end

function M.enable()
  M._set_enabled(true)
end

function M.disable()
  M._set_enabled(false)
  require("warmline.ghost").dismiss()
end

function M.toggle()
  M._set_enabled(M.options.settings.enable == false)
end

--- Asks for completions now; this gives alternatives too.
function M.trigger()
  require("warmline.ghost").request(1)
end

--- Has a comment written that says what comes next, and the code behind it; both are shown at the cursor.
--- From another mode insert mode is entered at the line's end.
function M.comment()
  if vim.startswith(vim.fn.mode(), "i") then
    M._ask_comment()
    return
  end
  if not vim.bo.modifiable then
    vim.notify("Warmline: this buffer is read-only", vim.log.levels.WARN)
    return
  end
  local group = vim.api.nvim_create_augroup("warmline_comment", { clear = true })
  -- where insert mode is not entered after all, nothing stays behind for another buffer
  vim.api.nvim_create_autocmd({ "InsertEnter", "BufLeave" }, {
    group = group,
    buffer = vim.api.nvim_get_current_buf(),
    callback = function(event)
      vim.api.nvim_clear_autocmds({ group = group })
      if event.event == "InsertEnter" then
        -- the cursor is moved once the mode has changed
        vim.schedule(M._ask_comment)
      end
    end,
  })
  vim.cmd.startinsert({ bang = true })
end

function M.restart()
  M._ask("warmline/restart", function()
    vim.notify("Warmline: the engine is restarting")
  end)
end

function M.statistics()
  M._ask("warmline/statistics", function(counts)
    vim.notify(require("warmline.statistics").page(counts))
  end)
end

function M.status()
  local status = M.last_status
  local said = status and vim.trim(status.state .. ". " .. (status.message or "")) or "not started"
  vim.notify("Warmline: " .. said)
end

--- A short text for a status line.
function M.statusline()
  local status = M.last_status
  if not status then
    return ""
  end
  return status.state == "ready" and "warmline" or "warmline " .. status.state
end

-- nvim has no empty table that is an object for sure
function M._settings()
  return next(M.options.settings) and M.options.settings or vim.empty_dict()
end

function M._set_enabled(is_enabled)
  M.options.settings.enable = is_enabled
  for _, client in ipairs(vim.lsp.get_clients({ name = "warmline" })) do
    client.settings = { warmline = M._settings() }
    compat.notify(client, "workspace/didChangeConfiguration", { settings = client.settings })
  end
end

function M._ask_comment()
  local client = M.client()
  local place = client and vim.lsp.util.make_position_params(0, client.offset_encoding)
  require("warmline.ghost").note()
  M._ask("warmline/commentFirst", function(text)
    if text == "" then
      vim.notify("Warmline: no comment to suggest here")
    end
  end, place and { uri = place.textDocument.uri, position = place.position })
end

function M._ask(method, take, params)
  local client = M.client() or vim.lsp.get_clients({ name = "warmline" })[1]
  if not client then
    vim.notify("Warmline: the server is not running; open a file, or run :checkhealth warmline", vim.log.levels.WARN)
    return
  end
  compat.request(client, method, params or vim.empty_dict(), function(problem, answer)
    if problem then
      vim.notify("Warmline: " .. problem.message, vim.log.levels.ERROR)
    else
      take(answer)
    end
  end)
end

--- LSP does not tell a server where the cursor is; the engine reads there first. The newest place wins.
function M._follow_cursor(group)
  local is_waiting = false
  vim.api.nvim_create_autocmd({ "CursorMoved", "CursorMovedI", "BufEnter" }, {
    group = group,
    callback = function()
      if is_waiting then
        return
      end
      is_waiting = true
      vim.defer_fn(function()
        is_waiting = false
        local client = M.client()
        if client and client.initialized then
          local place = vim.lsp.util.make_position_params(0, client.offset_encoding)
          compat.notify(client, "warmline/didMoveCursor", place)
        end
      end, CURSOR_EVERY_MS)
    end,
  })
end

return M
