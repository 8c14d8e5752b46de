-- Calls the methods of an LSP client: with a dot in Neovim 0.10, with a colon since 0.11.
local M = {}

local is_old = vim.fn.has("nvim-0.11") == 0

function M.request(client, method, params, handler, buffer)
  if is_old then
    return client.request(method, params, handler, buffer)
  end
  return client:request(method, params, handler, buffer)
end

function M.notify(client, method, params)
  if is_old then
    return client.notify(method, params)
  end
  return client:notify(method, params)
end

function M.cancel(client, request_id)
  if is_old then
    return client.cancel_request(request_id)
  end
  return client:cancel_request(request_id)
end

function M.is_stopped(client)
  if is_old then
    return client.is_stopped()
  end
  return client:is_stopped()
end

return M
