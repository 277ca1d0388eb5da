/* Start of a Cortex-M in QEMU: only for the test, not for a board. */
#include <stdint.h>

extern uint32_t net_stack_top, net_data_source, net_data_start, net_data_end, net_bss_start, net_bss_end;
extern int main(void);
extern void initialise_monitor_handles(void);
extern void exit(int status);

void net_reset(void) {
#if defined(__ARM_FP)
  *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* the floating-point unit is off after reset */
#endif
  const uint32_t *source = &net_data_source;
  for (uint32_t *word = &net_data_start; word < &net_data_end; word++) *word = *source++;
  for (uint32_t *word = &net_bss_start; word < &net_bss_end; word++) *word = 0;
  initialise_monitor_handles();
  exit(main());
}

static void fault(void) { exit(99); }

typedef void (*handler)(void);
__attribute__((section(".vectors"), used)) static const struct {
  uint32_t *stack;
  handler handlers[15];
} vectors = {&net_stack_top, {net_reset, fault, fault, fault, fault, fault}};
