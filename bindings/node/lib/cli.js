'use strict'
// A prompt for those who look after a cluster.
const readline = require('node:readline')
const { formatTable, withoutControls } = require('./table')

const OPTIONS = ['--role', '--alive', '--dead', '--healthy', '--unhealthy', '--stale']

// To add one: a row here. `takes` is what its arguments are completed from.
const ACTIONS = {
  list: { takes: 'options', run: list },
  kill: { takes: 'id', run: kill },
  zombify: { takes: 'id', run: zombify },
  killOldestMember: { takes: 'options', run: killOldest },
  clearStaleMembers: { takes: 'nothing', run: clearStale },
  rollingKill: { takes: 'options', run: rollingKill }
}

// --- Actions ---

async function list(client, { options }) {
  const members = await client.getMembers(options)
  return members.length === 0 ? 'No member matches.' : formatTable(members)
}

async function kill(client, { id }) {
  await client.killMember(id)
  return `${id} was asked to shut down.`
}

async function zombify(client, { id }) {
  await client.zombifyMember(id)
  return `${id} is marked as not alive.`
}

async function killOldest(client, { options }) {
  const member = await client.killOldestMember({ ...options, strict: true })
  return `${member.id} was asked to shut down.`
}

async function clearStale(client) {
  const members = await client.clearStaleMembers()
  return members.length === 0 ? 'Nothing to clear.' : `Deleted: ${members.map(({ id }) => id).join(', ')}`
}

async function rollingKill(client, { options }) {
  const members = await client.rollingKill(options)
  return `Asked to shut down: ${members.map(({ id }) => id).join(', ') || 'nobody'}`
}

// --- What was typed ---

function optionsOf(words) {
  const has = (name) => words.includes(name)
  const next = has('--role') ? words[words.indexOf('--role') + 1] : undefined
  const role = next?.startsWith('--') ? undefined : next
  return {
    role,
    alive: has('--dead') ? false : has('--alive') ? true : undefined,
    healthy: has('--unhealthy') ? false : has('--healthy') ? true : undefined,
    stale: has('--stale') ? true : undefined
  }
}

function parse(line) {
  const [action, ...words] = line.split(' ').filter(Boolean)
  return { action, id: words[0], options: optionsOf(words) }
}

class CLI {
  #client
  #output

  constructor({ client, input = process.stdin, output = process.stdout }) {
    this.#client = client
    this.#output = output
    this.input = input
  }

  // Resolves at the end of the input.
  async start() {
    this.rl = readline.createInterface({
      input: this.input,
      output: this.#output,
      prompt: '> ',
      completer: (line, callback) => this.complete(line).then((result) => callback(null, result), callback)
    })
    this.#print(`Functions:\n  ${Object.keys(ACTIONS).join('\n  ')}\nOptions:\n  ${OPTIONS.join(' ')}`)
    this.rl.prompt()
    for await (const line of this.rl) {
      await this.doAction(line)
      this.rl.prompt()
    }
  }

  #print(text) {
    this.#output.write(`${text.split('\n').map(withoutControls).join('\n')}\n`)
  }

  async doAction(line) {
    const command = parse(line)
    const action = Object.hasOwn(ACTIONS, command.action ?? '') && ACTIONS[command.action]
    if (!command.action) {
      return
    }
    if (!action) {
      this.#print(`There is no function ${command.action}. Functions: ${Object.keys(ACTIONS).join(', ')}`)
    } else if (action.takes === 'id' && !command.id) {
      this.#print(`Which one? ${command.action} ID`)
    } else {
      this.#print(await action.run(this.#client, command).catch((error) => error.message))
    }
  }

  // Functions first, then what the function takes: ids, roles, options.
  async complete(line) {
    const words = line.split(' ')
    const last = words[words.length - 1]
    const choices = words.length === 1 ? Object.keys(ACTIONS) : await this.#argumentsOf(words)
    const hits = choices.filter((choice) => choice.startsWith(last))
    return [hits.filter((hit) => hit === withoutControls(hit)).map((hit) => `${hit} `), last]
  }

  async #argumentsOf(words) {
    const takes = Object.hasOwn(ACTIONS, words[0]) ? ACTIONS[words[0]].takes : 'nothing'
    if (takes === 'nothing') {
      return []
    }
    if (takes === 'options' && words[words.length - 2] !== '--role') {
      return OPTIONS
    }
    const members = await this.#client.getMembers({ alive: true }).catch(() => [])
    return takes === 'id' ? members.map(({ id }) => id) : [...new Set(members.map(({ role }) => role))]
  }
}

module.exports = CLI
