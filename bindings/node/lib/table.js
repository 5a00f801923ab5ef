'use strict'
// Members as columns for a terminal.

function dateOf(milliseconds) {
  return milliseconds ? new Date(milliseconds).toISOString().slice(0, 16).replace('T', ' ') : '-'
}

// To add one: a row here.
const COLUMNS = [
  ['ID', (member) => member.id],
  ['Role', (member) => member.role],
  ['Created', (member) => dateOf(member.created)],
  ['Alive', (member) => String(member.alive)],
  ['Healthy', (member) => String(member.healthy)],
  ['Stale', (member) => String(member.stale)],
  ['Updated', (member) => dateOf(member.updated)],
  ['Shutdown Date', (member) => dateOf(member.shutdownDate)],
  ['Metadata', (member) => JSON.stringify(member.metadata) ?? '-']
]

// What a stranger has written commands no terminal.
function withoutControls(text) {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, '\ufffd')
}

function formatTable(members) {
  const rows = [COLUMNS.map(([name]) => name),
    ...members.map((member) => COLUMNS.map(([, read]) => withoutControls(read(member))))]
  const widths = COLUMNS.map((_, i) => rows.reduce((width, row) => Math.max(width, row[i].length), 0))
  return rows.map((row) => row.map((cell, i) => cell.padEnd(widths[i])).join('  ').trimEnd()).join('\n')
}

module.exports = { formatTable, withoutControls }
