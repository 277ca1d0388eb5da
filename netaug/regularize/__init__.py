"""What keeps large networks from learning by heart: layers that drop, mixed images, automatic augmentation."""
