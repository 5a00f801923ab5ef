'use strict'
// What callers ask for, as the addon takes it.

function filterOf(value) {
  return value === undefined || value === null ? undefined : Boolean(value)
}

function queryOf(options) {
  const { role, alive, healthy, stale, available, where } = options ?? {}
  return {
    role,
    alive: filterOf(alive),
    healthy: filterOf(healthy),
    stale: filterOf(stale),
    available: filterOf(available),
    where: where && Object.entries(where).flatMap(([key, value]) => [key, String(value)])
  }
}

function requestOptionsOf(options) {
  const { reason, user, interval, budgeted, prefix } = options ?? {}
  return { reason, user, interval, budgeted, prefix }
}

module.exports = { queryOf, requestOptionsOf }
