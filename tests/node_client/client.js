/*
 * Google's client for Datastore, led by a test: of each line `{"scenario": NAME, …}` from the
 * standard input it runs the scenario, and answers with a line of JSON, which is what it returned,
 * or {"failure": TEXT}. It speaks REST with the server on the loopback port that is the argument.
 */
'use strict';
const readline = require('readline');
const {Datastore} = require('@google-cloud/datastore');
const {PassThroughClient} = require('google-auth-library');

function open({project, namespace}) {
  return new Datastore({
    projectId: project, namespace, fallback: true, protocol: 'http',
    apiEndpoint: `127.0.0.1:${process.argv[2]}`, authClient: new PassThroughClient(),
  });
}

// How an error looks to a caller: the HTTP code, and Google's status.
async function codeOf(promise) {
  try {
    await promise;
    return 'none';
  } catch (error) {
    const found = /"status":"([A-Z_]+)"/.exec(error.message);
    return `${error.code} ${found ? found[1] : error.message}`;
  }
}

const scenarios = {
  async writes(order) {
    const datastore = open(order);
    const key = datastore.key(['Thing', 'one']);
    const seen = {};
    seen.updateMissing = await codeOf(datastore.update({key, data: {n: 0}}));
    await datastore.insert({key, data: {n: 1, gone: true}});
    seen.insertExisting = await codeOf(datastore.insert({key, data: {n: 2}}));
    seen.inserted = (await datastore.get(key))[0];
    await datastore.update({key, data: {n: 3}});
    seen.updated = (await datastore.get(key))[0];
    await datastore.upsert({key, data: {n: 4}});
    await datastore.save({key, data: {m: 5}});
    seen.saved = (await datastore.get(key))[0];
    await datastore.merge({key, data: {more: 'yes'}});
    seen.merged = (await datastore.get(key))[0];
    await datastore.delete(key);
    seen.deleted = (await datastore.get(key))[0] === undefined;
    await datastore.delete(key);
    const made = datastore.key('Thing');
    await datastore.insert({key: made, data: {n: 6}});
    seen.completed = /^[1-9][0-9]*$/.test(made.id);
    seen.byId = (await datastore.get(datastore.key(['Thing', datastore.int(made.id)])))[0];
    const [ids] = await datastore.allocateIds(datastore.key('Thing'), 3);
    seen.allocated = new Set(ids.map((one) => one.id)).size;
    return seen;
  },

  async types(order) {
    const datastore = open(order);
    const key = datastore.key(['Thing', 'types']);
    await datastore.save({key, excludeFromIndexes: ['long', 'nested.long', 'list[]'], data: {
      nothing: null, yes: true, no: false, text: 'grüße \u{1f600}', empty: '', whole: 7, zero: 0,
      exact: datastore.int('9007199254740993'), negative: -5, half: 0.5,
      wholeDouble: datastore.double(3), date: new Date(1400000000123),
      blob: Buffer.from([0, 255, 1]),
      point: datastore.geoPoint({latitude: 10.5, longitude: 0}),
      other: datastore.key(['Parent', 1, 'Child', 'x']), list: [1, 'two', null, {three: 3}],
      none: [],
      nested: {a: 1, deep: {b: [true]}, long: 'y'.repeat(2000)}, hollow: {}, long: 'x'.repeat(2000),
    }});
    const [entity] = await datastore.get(key, {wrapNumbers: true});
    const [unwrapped] = await datastore.get(datastore.key(['Thing', 'types'])).catch(
        (error) => [{failure: error.message}]);
    return {
      entity: {...entity, other: entity.other.path, blob: entity.blob.toString('hex'),
        date: entity.date.getTime(), point: {...entity.point},
        long: entity.long.length, nested: {...entity.nested, long: entity.nested.long.length}},
      names: Object.keys(entity).length, unwrapped: unwrapped.failure || 'read',
      tooLong: await codeOf(datastore.save({key, data: {text: 'x'.repeat(1501)}})),
    };
  },

  async transactions(order) {
    const first = open(order);
    const second = open(order);
    const key = first.key(['Thing', 'shared']);
    await first.save({key, data: {n: 0}});
    const one = first.transaction();
    const other = second.transaction();
    await one.run();
    await other.run();
    const read = [(await one.get(key))[0].n, (await other.get(key))[0].n];
    one.save({key, data: {n: 1}});
    other.save({key, data: {n: 2}});
    const ends = await Promise.all([codeOf(one.commit()), codeOf(other.commit())]);
    const after = (await first.get(key))[0].n;
    // It sees nothing of what it has written itself, and leaves nothing behind.
    const undone = first.transaction();
    await undone.run();
    undone.save({key, data: {n: 3}});
    const within = (await undone.get(key))[0].n;
    await undone.rollback();
    const snapshot = first.transaction({readOnly: true});
    await snapshot.run();
    await snapshot.get(key);
    await first.save({key, data: {n: 4}});
    const old = (await snapshot.get(key))[0].n;
    await snapshot.commit();
    return {read, ends, after, within, old, last: (await first.get(key))[0].n};
  },

  async counting(order) {
    // Each adds one, again as often as it is aborted: all are counted.
    const adder = async () => {
      const datastore = open(order);
      const key = datastore.key(['Counter', 'c']);
      for (let tries = 1; ; tries++) {
        const transaction = datastore.transaction();
        try {
          await transaction.run();
          const [found] = await transaction.get(key);
          transaction.save({key, data: {n: found ? found.n + 1 : 1}});
          await transaction.commit();
          return tries;
        } catch (error) {
          if (error.code !== 409 || tries > 100) {
            throw error;
          }
        }
      }
    };
    const tries = await Promise.all(Array.from({length: 8}, adder));
    const datastore = open(order);
    return {n: (await datastore.get(datastore.key(['Counter', 'c'])))[0].n,
      hasConflicts: Math.max(...tries) > 1};
  },

  async queries(order) {
    const datastore = open(order);
    const entities = [];
    for (let i = 0; i < 1000; i++) {
      entities.push({
        key: datastore.key(['Row', `r${String(i).padStart(4, '0')}`]),
        data: [{name: 'n', value: i}, {name: 'even', value: i % 2 === 0},
          {name: 'hidden', value: i, excludeFromIndexes: true},
          {name: 'tags', value: [`t${i % 3}`, `u${i % 5}`]}],
      });
    }
    await datastore.save(entities.slice(0, 500));
    await datastore.save(entities.slice(500));
    const run = async (change) => {
      const [found, info] = await change(datastore.createQuery('Row')).run();
      return {found, info};
    };
    const count = async (change) => (await run(change)).found.length;
    const numbers = async (change) => (await run(change)).found.map((one) => one.n);
    const seen = {
      all: (await numbers((query) => query)).every((n, i) => n === i),
      length: await count((query) => query),
      even: await count((query) => query.filter('even', true)),
      range: await numbers((query) => query.filter('n', '>=', 10).filter('n', '<', 13)),
      descending: await numbers((query) => query.order('n', {descending: true}).limit(3)),
      offset: await numbers((query) => query.order('n').offset(990).limit(5)),
      hidden: await count((query) => query.filter('hidden', 5)),
      orderedByHidden: await count((query) => query.order('hidden')),
      twoTags: await count((query) => query.filter('tags', 't1').filter('tags', 'u1')),
      inList: await count((query) => query.filter('n', 'IN', [1, 5, 2000])),
      notEqual: await count((query) => query.filter('n', '!=', 5)),
      byKey: await count((query) => query.filter('__key__', '>', datastore.key(['Row', 'r0989']))),
      keysOnly: (await run((query) => query.select('__key__').limit(2))).found.map(
          (one) => [Object.keys(one).length, one[datastore.KEY].name]),
      projected: (await run((query) => query.select('n').limit(2))).found.map((one) => ({...one})),
      noIndex: await codeOf(run((query) => query.filter('even', true).order('n'))),
    };
    const {or, PropertyFilter} = require('@google-cloud/datastore');
    seen.either = await numbers((query) => query.filter(or([
      new PropertyFilter('n', '=', 3), new PropertyFilter('n', '=', 700)])));
    const [[counted]] = await datastore.runAggregationQuery(
        datastore.createAggregationQuery(datastore.createQuery('Row')).count('total'));
    seen.counted = counted.total;
    // Pages by cursors.
    let cursor;
    seen.pages = [];
    for (;;) {
      let query = datastore.createQuery('Row').order('n').limit(400);
      query = cursor ? query.start(cursor) : query;
      const [page, info] = await query.run();
      seen.pages.push([page.length, page.length ? page[0].n : null, info.moreResults]);
      cursor = info.endCursor;
      if (info.moreResults === Datastore.NO_MORE_RESULTS) {
        break;
      }
    }
    return seen;
  },

  async namespaces({project}) {
    const [one, other] = ['one', 'other'].map((namespace) => open({project, namespace}));
    await one.save({key: one.key(['Thing', 'same']), data: {from: 'one'}});
    const before = (await other.get(other.key(['Thing', 'same'])))[0] === undefined;
    await other.save({key: other.key(['Thing', 'same']), data: {from: 'other'}});
    const seen = async (datastore) => (await datastore.createQuery('Thing').run())[0].map(
        (entity) => entity.from);
    return {before, one: await seen(one), other: await seen(other)};
  },

  // As the original saves its entity: the data, and no more.
  async save(order) {
    const datastore = open(order);
    await datastore.save({key: datastore.key([order.kind, order.id]), data: order.data});
  },

  // As the original changes it: it reads all, and writes all.
  async change(order) {
    const datastore = open(order);
    const key = datastore.key([order.kind, order.id]);
    const transaction = datastore.transaction();
    await transaction.run();
    const [entity] = await transaction.get(key);
    transaction.save({key, data: {...entity, ...order.data}});
    await transaction.commit();
  },

  async list(order) {
    const datastore = open(order);
    const [found] = await datastore.createQuery(order.kind).run();
    return Object.fromEntries(found.map((entity) => [entity[datastore.KEY].name, entity]));
  },
};

readline.createInterface({input: process.stdin}).on('line', async (line) => {
  let answer;
  try {
    const order = JSON.parse(line);
    answer = await scenarios[order.scenario](order);
  } catch (error) {
    answer = {failure: error.stack};
  }
  process.stdout.write(JSON.stringify(answer === undefined ? null : answer) + '\n');
});
