// As an ES module.
import comrade, { Client, Member } from 'comrade'

const member: Member = new comrade.Member({ role: 'app' })
const client = new Client({ store: 'memory:' })
const members: comrade.MemberData[] = await client.getMembers({ role: member.role })
console.log(members.length, comrade.version)
