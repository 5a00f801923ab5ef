'use strict'
// Lists of members, as the addon hands them over: read a page at a time, with turns of the event
// loop between, so that a hundred thousand hold up nothing.
const binding = require('./binding')

const PAGE = 1000

function readMembers(list, hasDetails, done) {
  const count = binding.membersCount(list)
  const members = []
  function readPage() {
    const from = members.length
    members.push(...JSON.parse(binding.membersText(list, from, from + PAGE, hasDetails)))
    if (members.length < count) {
      setImmediate(readPage)
    } else {
      done(null, members)
    }
  }
  if (count === 0) {
    done(null, members)
  } else {
    readPage()
  }
}

module.exports = { readMembers }
