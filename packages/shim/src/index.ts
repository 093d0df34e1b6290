/** Nothing: a shim is a program (`./zygote`, `./main`), and what another program may use of it is `./library`. */
export {}
