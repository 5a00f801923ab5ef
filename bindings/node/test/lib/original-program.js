'use strict'
// The published comrade 0.0.3, as a program for tests: original-program.js HOST:PORT PROJECT CALL [ARGUMENT…]
//
//   member ROLE ID METADATA     a member, twenty times as fast; says what befalls it, a line each
//   getMembers OPTIONS          prints the members, as JSON
//   killMember ID, zombifyMember ID, killOldestMember OPTIONS, clearStaleMembers
//
// What the package itself prints goes to standard error.
const { Client, Member } = require('comrade-original')
const Dataset = require('./original-dataset')

const SPEED = 20

const [host, project, call, ...given] = process.argv.slice(2)
const googleDataset = new Dataset(`http://${host}`, project)
const say = (text) => process.stdout.write(`${text}\n`)
console.log = console.error

const finish = (error, members) => {
  if (members) {
    say(JSON.stringify(members))
  }
  if (error) {
    process.stderr.write(`${error.message}\n`)
  }
  process.exit(error ? 1 : 0) // it would wait for a timer of the package's, 15 s
}

if (call === 'member') {
  const wait = global.setInterval
  global.setInterval = (work, ms) => wait(work, ms / SPEED)
  const [role, id, metadata = '{}'] = given
  const member = new Member({ role, id, googleDataset, metadata: JSON.parse(metadata) })
  member.on('shutdown', () => say('shutdown'))
  member.start()
  say('started')
} else {
  const client = new Client({ googleDataset })
  const isWithOptions = ['getMembers', 'killOldestMember'].includes(call)
  const argument = given.map((text) => isWithOptions ? JSON.parse(text) : text)
  client[call](...argument, finish)
}
