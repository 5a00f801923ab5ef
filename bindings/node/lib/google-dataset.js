'use strict'

function googleDatasetUrl() {
  const error = new Error('comrade: googleDataset is not supported yet; name a store instead')
  error.code = 'UNSUPPORTED'
  throw error
}

module.exports = googleDatasetUrl
