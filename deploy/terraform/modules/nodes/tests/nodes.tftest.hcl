variables {
  control_plane              = "tickloop-control-plane"
  control_plane_address      = "10.10.0.10"
  workers                    = ["tickloop-worker-01", "tickloop-worker-02"]
  worker_addresses           = ["10.10.0.11", "10.10.0.12"]
  tags                       = { node = "tickloop-node", control_plane = "tickloop-control-plane" }
  control_plane_machine_type = "e2-highcpu-4"
  worker_machine_type        = "e2-highcpu-4"
  boot_disk_gb               = 30
}

run "one_control_plane_and_two_workers" {
  command = plan

  assert {
    condition     = length(output.nodes) == 3 && length([for node in output.nodes : node if node.role == "control_plane"]) == 1
    error_message = jsonencode(output.nodes)
  }

  assert {
    condition     = contains(output.nodes["tickloop-control-plane"].tags, "tickloop-control-plane") && !contains(output.nodes["tickloop-worker-01"].tags, "tickloop-control-plane")
    error_message = jsonencode(output.nodes)
  }
}

run "shared_cores_are_refused" {
  command = plan
  variables {
    control_plane_machine_type = "e2-medium"
  }
  expect_failures = [var.control_plane_machine_type]
}

run "a_worker_of_shared_cores_is_refused" {
  command = plan
  variables {
    worker_machine_type = "e2-small"
  }
  expect_failures = [var.worker_machine_type]
}

run "a_boot_disk_without_room_for_images_is_refused" {
  command = plan
  variables {
    boot_disk_gb = 10
  }
  expect_failures = [var.boot_disk_gb]
}
