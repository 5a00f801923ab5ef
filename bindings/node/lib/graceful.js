'use strict'
class CLI {}
module.exports = CLI
