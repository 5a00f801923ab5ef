'use strict'
// The original's classes were functions, from which one inherits by Class.call(this, options) and
// util.inherits(). A class takes no such call; but its base's constructor may return any object, which
// is then given the private parts.

class Receiver {
  constructor(object) {
    this.object = object
  }
}

// What a callable class extends in its parent's stead; the constructor hands on its second argument.
function baseOf(Parent) {
  return class extends Parent {
    constructor(receiver) {
      if (!(receiver instanceof Receiver)) {
        super()
        return
      }
      Parent.call(receiver.object)
      return receiver.object
    }
  }
}

function callable(Class) {
  const called = new Proxy(Class, {
    apply(_, object, [options]) {
      if (!(object instanceof Class)) {
        throw new TypeError(`${Class.name} is called with new, or on an object that inherits from it`)
      }
      new Class(options, new Receiver(object))
    },
    // As the class itself: V8 makes a new shape for each object whose new.target is a proxy.
    construct(_, [options], target) {
      return Reflect.construct(Class, [options], target === called ? Class : target)
    }
  })
  Object.defineProperty(Class.prototype, 'constructor', { value: called })
  return called
}

module.exports = { baseOf, callable }
