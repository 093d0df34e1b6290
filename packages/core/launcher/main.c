void _start(void) { for (;;) __builtin_trap(); }
