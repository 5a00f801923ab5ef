/* How a driver's module is loaded. */
#ifndef STORE_MODULE_OPEN_H
#define STORE_MODULE_OPEN_H

/* dlopen(3), so that the module meets the client libraries that it was built for. NULL: dlerror()
   says why. Any thread. */
void *module_open(const char *path);

#endif
