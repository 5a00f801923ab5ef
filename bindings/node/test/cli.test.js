'use strict'
// The prompt: what is typed reaches the members.
const assert = require('node:assert')
const { PassThrough } = require('node:stream')
const { once } = require('node:events')
const { it } = require('node:test')
const { CLI, Client, Member, fresh, runProgram, until } = require('./lib/comrade')

function openPrompt(options) {
  const input = new PassThrough()
  const output = new PassThrough({ encoding: 'utf8' })
  const prompt = { input, said: '' }
  output.on('data', (text) => { prompt.said += text })
  prompt.cli = new CLI({ client: new Client(options), input, output })
  prompt.ended = prompt.cli.start()
  // What was said in answer to a line, when the next prompt is there.
  prompt.ask = async (line) => {
    await until(() => prompt.said.endsWith('> '))
    const before = prompt.said.length
    input.write(`${line}\n`)
    await until(() => prompt.said.length > before && prompt.said.endsWith('> '))
    return prompt.said.slice(before, -2)
  }
  return prompt
}

async function started(store, id, role = 'app') {
  const member = new Member({ store, role, id, metadata: { ip: '10.0.0.1' } })
  member.on('shutdown', () => member.stop())
  await member.start()
  return member
}

it('a kill that is typed reaches the event', async () => {
  const store = `memory:${fresh('cli')}`
  const member = await started(store, 'app-1')
  const prompt = openPrompt({ store })
  const heard = once(member, 'shutdown')
  assert.match(await prompt.ask('kill app-1'), /app-1 was asked to shut down/)
  await heard
  assert.match(await prompt.ask('kill app-2'), /app-2/)
  prompt.input.end()
  await prompt.ended
})

it('lists what is asked for, as a table', async () => {
  const store = `memory:${fresh('cli')}`
  const members = [await started(store, 'a'), await started(store, 'b'), await started(store, 'c', 'web')]
  const prompt = openPrompt({ store })
  const rows = async (line) => (await prompt.ask(line)).trim().split('\n').slice(1).map((row) => row.split(' ')[0])
  assert.deepStrictEqual(await rows('list'), ['a', 'b', 'c'])
  assert.deepStrictEqual(await rows('list --role web'), ['c'])
  assert.match(await prompt.ask('zombify a'), /a is marked as not alive/)
  assert.deepStrictEqual(await rows('list --dead'), ['a'])
  assert.deepStrictEqual(await rows('list --alive --healthy --role app'), ['b'])
  assert.match(await prompt.ask('list --unhealthy'), /No member matches/)
  assert.match(await prompt.ask('list --stale'), /No member matches/)
  assert.match(await prompt.ask('list --role app'), /{"ip":"10.0.0.1"}/)
  members.forEach((member) => member.stop())
  prompt.input.end()
  await prompt.ended
})

it('kills the oldest, one after the other, and clears', async () => {
  const store = `memory:${fresh('cli')}`
  const prompt = openPrompt({ store, roles: { app: { minMembers: 0 } } })
  await started(store, 'a')
  assert.match(await prompt.ask('killOldestMember'), /You must set a role/)
  assert.match(await prompt.ask('killOldestMember --role app'), /a was asked/)
  assert.match(await prompt.ask('killOldestMember --role app'), /app/) // nobody is left, and that is told
  assert.match(await prompt.ask('rollingKill --role app'), /nobody/)
  assert.match(await prompt.ask('clearStaleMembers'), /Nothing to clear/)
  assert.match(await prompt.ask('dance'), /There is no function dance/)
  assert.match(await prompt.ask('constructor'), /There is no function constructor/)
  assert.match(await prompt.ask('kill'), /Which one/)
  prompt.input.end()
  await prompt.ended
})

it('completes functions, options, roles and ids', async () => {
  const store = `memory:${fresh('cli')}`
  const member = await started(store, 'app-1')
  const cli = new CLI({ client: new Client({ store }) })
  assert.deepStrictEqual(await cli.complete('ki'), [['kill ', 'killOldestMember '], 'ki'])
  assert.deepStrictEqual(await cli.complete('kill a'), [['app-1 '], 'a'])
  assert.deepStrictEqual(await cli.complete('list --h'), [['--healthy '], '--h'])
  assert.deepStrictEqual(await cli.complete('list --role '), [['app '], ''])
  assert.deepStrictEqual((await cli.complete(''))[0].length, 6)
  member.stop()
})

it('runs on a pipe, and ends with it', async () => {
  const { code, stdout, stderr } = await runProgram(`
    const { CLI, Client } = require(process.env.COMRADE_PACKAGE)
    new CLI({ client: new Client({ store: 'memory:' }) }).start()`, { input: 'list\nkill nobody\n' })
  assert.deepStrictEqual([code, stderr], [0, ''])
  assert.match(stdout, /No member matches/)
  assert.match(stdout, /nobody/)
})

it('what it says commands no terminal, and an option is no role', async () => {
  const store = `memory:${fresh('cli')}`
  const member = await started(store, 'a')
  const prompt = openPrompt({ store })
  for (const line of ['kill a\u001b[2Jb', '\u001b]0;x\u0007', 'zombify \u009b2J']) {
    assert.doesNotMatch(await prompt.ask(line), /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/)
  }
  assert.match(await prompt.ask('list --role --alive'), /^a /m)
  assert.match(await prompt.ask('killOldestMember --role'), /You must set a role/)
  member.stop()
  prompt.input.end()
  await prompt.ended
})
