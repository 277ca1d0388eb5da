/* int8 kernels with the arithmetic of TFLite's reference kernels (double rounding). Layout is height, width, channels. */
#ifndef NET_KERNELS_H
#define NET_KERNELS_H

#include <stdint.h>

#ifdef NET_CMSIS_NN
typedef int32_t net_shift; /* as arm_convolve_s8 reads it */
#else
typedef int8_t net_shift;
#endif

typedef struct {
  int32_t height, width, channels;
} net_shape;

typedef struct {
  int16_t height, width, stride_y, stride_x, pad_top, pad_left;
} net_window;

/* weights: output channel, row, column, input channel; depthwise: row, column, channel. The last three fields are read
   by net_group_conv_run alone, whose weights have the input channels of one group. */
typedef struct {
  const int8_t *weights;
  const int32_t *bias;
  const int32_t *multipliers;
  const net_shift *shifts;
  net_shape input, output;
  net_window window;
  int16_t input_zero, output_zero, low, high;
  int16_t groups, dilation_y, dilation_x;
} net_conv;

typedef struct {
  net_shape input, output;
  net_window window;
  int16_t low, high;
} net_pool;

typedef struct {
  int32_t size;
  int32_t multiplier_a, multiplier_b, multiplier_out;
  int16_t shift_a, shift_b, shift_out;
  int16_t zero_a, zero_b, output_zero, low, high;
} net_add;

/* b repeats every b_size elements: size for two activations of one shape, channels for one factor per channel */
typedef struct {
  int32_t size, b_size, multiplier;
  int16_t shift, zero_a, zero_b, output_zero, low, high;
} net_mul;

typedef struct {
  int32_t pixels, channels, multiplier;
  int16_t shift, input_zero, output_zero;
} net_mean;

void net_conv_run(const net_conv *p, const int8_t *input, int8_t *output);
void net_depthwise_run(const net_conv *p, const int8_t *input, int8_t *output);
void net_group_conv_run(const net_conv *p, const int8_t *input, int8_t *output); /* any groups, any dilation */
void net_add_run(const net_add *p, const int8_t *a, const int8_t *b, int8_t *output);
void net_mul_run(const net_mul *p, const int8_t *a, const int8_t *b, int8_t *output);
void net_mean_run(const net_mean *p, const int8_t *input, int8_t *output);
void net_max_pool_run(const net_pool *p, const int8_t *input, int8_t *output);
void net_avg_pool_run(const net_pool *p, const int8_t *input, int8_t *output);

/* any function of one int8 value, as a table indexed by value + 128 */
void net_lookup_run(const int8_t table[256], int32_t size, const int8_t *input, int8_t *output);
void net_resize_run(net_shape input, int32_t factor, const int8_t *source, int8_t *output);

/* takes channels in the given order: splits, slices and shuffles */
void net_take_run(int32_t pixels, int32_t channels, int32_t count, const int16_t *order, const int8_t *input,
                  int8_t *output);

/* copies the channels of one input of a concatenation to their place in the output */
void net_concat_run(int32_t pixels, int32_t channels, int32_t stride, const int8_t *input, int8_t *output);

#endif
