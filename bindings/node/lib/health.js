'use strict'
// Answers /comrade_health_check with the member's id, so that who asks knows that it has reached the
// member it meant. For a plain server, and for everything that takes (req, res, next).

const PATH = '/comrade_health_check'

// The handler returns whether the request was for it; where it was not, it calls next().
function healthHandler(member, { path = PATH } = {}) {
  return function comradeHealthCheck(req, res, next) {
    const [asked] = (req.originalUrl ?? req.url).split('?')
    if (asked !== path || (req.method !== 'GET' && req.method !== 'HEAD')) {
      next?.()
      return false
    }
    const body = JSON.stringify({ id: member.id, role: member.role, alive: member.alive })
    res.writeHead(200, {
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(body),
      'Cache-Control': 'no-store'
    })
    res.end(req.method === 'HEAD' ? undefined : body)
    return true
  }
}

module.exports = healthHandler
